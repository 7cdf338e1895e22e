// Package shards keeps the states of a component's units in StateShard objects,
// so that a kill or a change of leader forgets nothing. A Store takes states as
// bytes, puts each into the shard that its unit's name hashes to, and writes the
// shards that changed once a pass; a state that guards an action is written
// before it, together with all others that wait for the same. Each write carries
// the pass and the writer, so that a leader that was replaced finds out and acts
// no more. What a state means, and what may be forgotten of it, is the
// component's business: nothing here knows a rule.
package shards
