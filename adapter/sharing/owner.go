package sharing

import (
	"crypto/sha256"
	"encoding/binary"
)

// Owner is the member that a key falls to, empty where there is none: the one with
// the highest hash together with the key. So each has its share, and where one
// comes or goes only the keys move that fall to it or did.
func Owner(members []string, key string) string {
	owner, highest := "", uint64(0)
	for _, member := range members {
		sum := sha256.Sum256([]byte(member + "\x00" + key))
		score := binary.BigEndian.Uint64(sum[:8])
		if owner == "" || score > highest || (score == highest && member < owner) {
			owner, highest = member, score
		}
	}
	return owner
}
