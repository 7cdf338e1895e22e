package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/utils/ptr"
)

const (
	// tokenLife is what is asked for, as a kubelet does.
	tokenLife = time.Hour
	// tokenRefresh is when a token is replaced. Clients read the file again every minute.
	tokenRefresh = 40 * time.Minute
	// tokenRetry is the pause after a failed refresh.
	tokenRetry = 10 * time.Second
	// accountLimit is how long an account may take to appear.
	accountLimit = 10 * time.Second
)

// ServiceAccountKubeconfig returns the path of a kubeconfig that authenticates as a service account that exists, or
// does within seconds. Its token is in a file that is refreshed while the lab runs.
func (l *Lab) ServiceAccountKubeconfig(ctx context.Context, namespace, name string) (string, error) {
	token, err := l.tokenFile(ctx, namespace, name)
	if err != nil {
		return "", err
	}
	return l.writeKubeconfig(l.config.Host, namespace+"_"+name, &clientcmdapi.AuthInfo{TokenFile: token})
}

// ServiceAccountConfig is ServiceAccountKubeconfig for a client in this process.
func (l *Lab) ServiceAccountConfig(ctx context.Context, namespace, name string) (*rest.Config, error) {
	path, err := l.ServiceAccountKubeconfig(ctx, namespace, name)
	if err != nil {
		return nil, err
	}
	config, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig of %s/%s: %w", namespace, name, err)
	}
	config.QPS = -1
	return config, nil
}

// tokenFile returns the file with the account's token, which it begins to keep fresh at the first call.
func (l *Lab) tokenFile(ctx context.Context, namespace, name string) (string, error) {
	key := namespace + "_" + name
	l.mu.Lock()
	path, ok := l.accounts[key]
	l.mu.Unlock()
	if ok {
		return path, nil
	}
	path = filepath.Join(l.folder.path, "kubeconfigs", key+".token")
	exists := wait{what: "the service account " + namespace + "/" + name, limit: accountLimit}
	err := l.until(ctx, exists, func(ctx context.Context) error { return l.writeToken(ctx, namespace, name, path) })
	if err != nil {
		return "", err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.accounts[key]; !ok {
		l.accounts[key] = path
		l.goBackground(func() { l.refreshToken(namespace, name, path) })
	}
	return path, nil
}

func (l *Lab) refreshToken(namespace, name, path string) {
	timer := time.NewTimer(tokenRefresh)
	defer timer.Stop()
	for {
		select {
		case <-l.background.Done():
			return
		case <-timer.C:
		}
		if err := l.writeToken(l.background, namespace, name, path); err != nil {
			l.say("%v", err)
			timer.Reset(tokenRetry)
			continue
		}
		timer.Reset(tokenRefresh)
	}
}

// writeToken asks for a token and puts it into the file by a rename, so that no reader finds half of one.
func (l *Lab) writeToken(ctx context.Context, namespace, name, path string) error {
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	request := &authenticationv1.TokenRequest{
		Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: ptr.To(int64(tokenLife / time.Second))},
	}
	if err := l.client.SubResource("token").Create(ctx, account, request); err != nil {
		return fmt.Errorf("asking for a token of %s/%s: %w", namespace, name, err)
	}
	unfinished, err := os.CreateTemp(filepath.Dir(path), "*.new")
	if err == nil {
		_, err = unfinished.WriteString(request.Status.Token)
		err = errors.Join(err, unfinished.Close(), os.Rename(unfinished.Name(), path))
	}
	if err != nil {
		return fmt.Errorf("writing the token of %s/%s: %w", namespace, name, err)
	}
	return nil
}
