// Package schedule reads the schedules of a policy and says which of their windows
// are open at a time and which will open next. When a window opens, in which time
// zone and over changes of the clocks, is internal/recurrence's to say; this
// package adds what a window means for a count. It reads no clock and decides no
// count.
package schedule
