// Package server is the metrics-adapter binary: its flags, its wiring and the
// external metrics API, served from memory. It polls nothing and decides
// nothing; a read looks a sample up and has adapter/query judge its age.
package server
