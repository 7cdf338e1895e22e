package kubelet

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	ctrlclient "sigs.k8s.io/controller-runtime/pkg/client"
)

// volumeInterval is how often the objects behind volumes are read again. A kubelet takes up to a minute.
const volumeInterval = time.Second

// dataLink is the link whose change makes all files of a volume change at once.
const dataLink = "..data"

// keepVolumes brings changes of Secrets and ConfigMaps into the volumes until the background ends.
func (p *Process) keepVolumes() {
	ctx := p.pod.config.Background
	ticker := time.NewTicker(volumeInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if p.PID() == 0 {
			continue // The next start brings them, and says what is wrong.
		}
		if err := p.pod.project(ctx); err != nil && ctx.Err() == nil {
			p.pod.config.Say("%v", err)
		}
	}
}

// project makes every volume hold what it should.
func (p *pod) project(ctx context.Context) error {
	p.projecting.Lock()
	defer p.projecting.Unlock()
	if err := os.MkdirAll(p.dir(), 0o755); err != nil {
		return fmt.Errorf("creating the folder of %s: %w", p.name, err)
	}
	for _, volume := range p.spec.Volumes {
		dir := filepath.Join(p.dir(), "volumes", volume.Name)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("creating volume %s of %s: %w", volume.Name, p.name, err)
		}
		if volume.EmptyDir != nil {
			continue
		}
		files, err := p.content(ctx, volume)
		if err == nil {
			err = replaceFiles(dir, files)
		}
		if err != nil {
			return fmt.Errorf("filling volume %s of %s: %w", volume.Name, p.name, err)
		}
	}
	return nil
}

// content returns the files of a Secret's or a ConfigMap's volume. A ConfigMap may mention paths of the container.
func (p *pod) content(ctx context.Context, volume corev1.Volume) (map[string][]byte, error) {
	if source := volume.Secret; source != nil {
		var secret corev1.Secret
		err := p.config.Client.Get(ctx, ctrlclient.ObjectKey{Namespace: p.namespace, Name: source.SecretName}, &secret)
		if missing(err, source.Optional) {
			return nil, nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading secret %s: %w", source.SecretName, err)
		}
		return choose(secret.Data, source.Items)
	}
	source := volume.ConfigMap
	var object corev1.ConfigMap
	err := p.config.Client.Get(ctx, ctrlclient.ObjectKey{Namespace: p.namespace, Name: source.Name}, &object)
	if missing(err, source.Optional) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading config map %s: %w", source.Name, err)
	}
	data := map[string][]byte{}
	for name, text := range object.Data {
		data[name] = []byte(p.mounts.translate(text))
	}
	return choose(data, source.Items)
}

func missing(err error, optional *bool) bool {
	return apierrors.IsNotFound(err) && optional != nil && *optional
}

// choose returns the items asked for, by their paths, or everything where none are.
func choose(data map[string][]byte, items []corev1.KeyToPath) (map[string][]byte, error) {
	if len(items) == 0 {
		return data, nil
	}
	chosen := map[string][]byte{}
	for _, item := range items {
		content, ok := data[item.Key]
		if !ok {
			return nil, fmt.Errorf("there is no key %s", item.Key)
		}
		if !filepath.IsLocal(item.Path) {
			return nil, fmt.Errorf("path %s leads out of the volume", item.Path)
		}
		chosen[item.Path] = content
	}
	return chosen, nil
}

// replaceFiles makes dir hold exactly the files, all at once: as a kubelet does, it fills a new folder, points a link
// at it with a rename, and each file is a link through that one.
func replaceFiles(dir string, files map[string][]byte) error {
	link := filepath.Join(dir, dataLink)
	if same(link, files) {
		return nil
	}
	filled, err := os.MkdirTemp(dir, "..")
	if err != nil {
		return err
	}
	for name, content := range files {
		target := filepath.Join(filled, name)
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(target, content, 0o600); err != nil {
			return err
		}
	}
	old, _ := os.Readlink(link)
	unfinished := link + "_new"
	err = os.Symlink(filepath.Base(filled), unfinished)
	if err := errors.Join(err, os.Rename(unfinished, link)); err != nil {
		return err
	}
	if err := linkFiles(dir, files); err != nil {
		return err
	}
	if old == "" {
		return nil
	}
	return os.RemoveAll(filepath.Join(dir, old))
}

// linkFiles makes the links of files, or of the folders that they are in, that are new, and removes those of what
// went.
func linkFiles(dir string, files map[string][]byte) error {
	for name := range files {
		first, _, _ := strings.Cut(filepath.ToSlash(name), "/")
		err := os.Symlink(filepath.Join(dataLink, first), filepath.Join(dir, first))
		if err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		link := filepath.Join(dir, entry.Name())
		if _, err := os.Stat(link); errors.Is(err, os.ErrNotExist) {
			if err := os.Remove(link); err != nil {
				return err
			}
		}
	}
	return nil
}

// same reports whether the folder behind the link holds exactly the files.
func same(link string, files map[string][]byte) bool {
	if _, err := os.Readlink(link); err != nil {
		return false
	}
	found := map[string][]byte{}
	root := link + string(filepath.Separator)
	err := filepath.WalkDir(root, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		found[name] = content
		return err
	})
	return err == nil && (len(found) == 0 && len(files) == 0 || reflect.DeepEqual(found, files))
}
