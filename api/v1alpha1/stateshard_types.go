package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// StateShardSpec is one slice of a component's durable state.
//
// +kubebuilder:validation:XValidation:rule="self.index < self.shards",message="index must be less than shards",fieldPath=".index"
// +kubebuilder:validation:XValidation:rule="self.component == oldSelf.component && self.index == oldSelf.index && self.shards == oldSelf.shards",message="component, index and shards do not change: write another object"
type StateShardSpec struct {
	// component whose state it is, such as hpa-controller.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z]([-a-z0-9]*[a-z0-9])?$`
	Component string `json:"component"`
	// index of the shard, from 0. A unit's shard is found by hashing its name.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1023
	Index int32 `json:"index"`
	// shards is how many the state is divided into.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1024
	Shards int32 `json:"shards"`
	// version of the data's encoding. A reader that does not know it starts
	// without history and says so.
	// +kubebuilder:validation:Minimum=1
	Version int32 `json:"version"`
	// data is the encoded state; only the component reads it.
	// +optional
	// +kubebuilder:validation:MaxLength=1000000
	Data []byte `json:"data,omitempty"`
	// hash is the SHA-256 of data, in hexadecimal. A shard whose data does not
	// match is not used.
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern=`^[0-9a-f]{64}$`
	Hash string `json:"hash"`
	// pass is the number of the pass that wrote the shard; a write of an older
	// pass is refused.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:XValidation:rule="self >= oldSelf",message="pass must not go back: another leader has written since; read the shard again"
	Pass int64 `json:"pass"`
	// writer is the identity of the leader that wrote it.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Writer string `json:"writer,omitempty"`
	// writtenAt is when.
	// +optional
	WrittenAt *metav1.MicroTime `json:"writtenAt,omitempty"`
}

// StateShard is durable state of a component: written once a pass, before the
// actions that it guards, so that a kill or a change of leader forgets nothing.
// Nobody but the component edits it. hpa-controller keeps what windows, policies
// and delays look back on in such objects, in its own namespace; see docs/hpa.md.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:categories=quartet,shortName=qss
// +kubebuilder:printcolumn:name="Component",type=string,JSONPath=`.spec.component`
// +kubebuilder:printcolumn:name="Index",type=integer,JSONPath=`.spec.index`
// +kubebuilder:printcolumn:name="Shards",type=integer,JSONPath=`.spec.shards`
// +kubebuilder:printcolumn:name="Pass",type=integer,JSONPath=`.spec.pass`
// +kubebuilder:printcolumn:name="Written",type=date,JSONPath=`.spec.writtenAt`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type StateShard struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is the state.
	Spec StateShardSpec `json:"spec"`
}

// StateShardList is a list of StateShards.
//
// +kubebuilder:object:root=true
type StateShardList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []StateShard `json:"items"`
}
