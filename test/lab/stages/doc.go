// Package stages makes fake nodes and pods behave as a kubelet would make them behave where kwok's own stages do not:
// containers show the resources that they run with, a resize in place is played through to their status, a node's
// boot and deletion take the time that its labels or annotations ask for. It adds stages to kwok's and amends two of
// them; it runs nothing, and what is done to an object on command (a container killed, a node failed) is package lab's.
package stages
