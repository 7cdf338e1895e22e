// Package supervisor starts processes that cannot outlive the program that asked for them, even when that one is
// killed with -9.
//
// A small command of its own (the folder supervise) is a child subreaper in a session of its own and holds a pipe
// from its parent. It starts processes on request and reports how they end. When the pipe ends, for whatever
// reason, it kills everything that descends from it, daemons that changed their session included, removes its
// working folder unless told to keep it, and exits. A parent-death signal alone would not do: it follows one
// thread, reaches children only, and is lost on a change of credentials.
//
// The package holds the client and the protocol, JSON lines over the command's standard input and output. It knows
// nothing of what it runs, and restarts nothing.
package supervisor
