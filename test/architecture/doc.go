// Package architecture holds the house's rules as tests: which package may
// import which, what pure code may not touch, how large a main may be, that each
// package says what it is for, and that the modules agree on versions. The rules
// are about this module's own packages; how they behave is for other tests.
package architecture
