package controller

import "testing"

// TestLimitsOfRequestsLeaveRoomForAPass: at the defaults no limit of our own keeps
// 10,000 objects from a turn and a write each within the sync period.
func TestLimitsOfRequestsLeaveRoomForAPass(t *testing.T) {
	const objects = 10_000
	period := NewOptions().Rules.SyncPeriod.Seconds()
	if flags := NewCommand().Flags; float64(flags.KubeAPIQPS)*period < objects || flags.KubeAPIBurst < int(flags.KubeAPIQPS) {
		t.Errorf("%v requests a second and %d at once leave no room for %d writes in %v s", flags.KubeAPIQPS, flags.KubeAPIBurst, objects, period)
	}
}
