package supervisor

// Op is what a request asks for.
type Op string

const (
	// OpStart starts Request.Spec under Request.ID. It is answered by a Started or a Failed event.
	OpStart Op = "start"
	// OpSignal sends Request.Signal to the process group of Request.ID. A process that ended already is no error.
	OpSignal Op = "signal"
	// OpKeep makes the supervisor leave its folder behind, without the entries named by Request.Drop.
	OpKeep Op = "keep"
)

// Request is one line from the client to the supervisor.
type Request struct {
	Op     Op       `json:"op"`
	ID     int      `json:"id,omitempty"`
	Spec   *Spec    `json:"spec,omitempty"`
	Signal int      `json:"signal,omitempty"`
	Drop   []string `json:"drop,omitempty"`
}

// Spec says what to run.
type Spec struct {
	Path string   `json:"path"`
	Args []string `json:"args,omitempty"` // without the program's name
	Env  []string `json:"env,omitempty"`  // the whole environment
	Dir  string   `json:"dir,omitempty"`  // the working folder; empty: the supervisor's own
	Log  string   `json:"log"`            // both outputs are appended to this file
}

// EventKind is what an event reports.
type EventKind string

const (
	// Started reports the PID of a process that was asked for.
	Started EventKind = "started"
	// Failed reports why a process could not be started.
	Failed EventKind = "failed"
	// Exited reports the end of a process: its code, or the signal that killed it.
	Exited EventKind = "exited"
)

// Event is one line from the supervisor to the client.
type Event struct {
	Kind   EventKind `json:"kind"`
	ID     int       `json:"id"`
	PID    int       `json:"pid,omitempty"`
	Code   int       `json:"code,omitempty"`
	Signal int       `json:"signal,omitempty"`
	Error  string    `json:"error,omitempty"`
}
