// Command hello is a program for the test to build.
package main

import "fmt"

func main() { fmt.Println("hello") }
