//go:build unix

package main

import "syscall"

// maxConnections is how many connections the public listener may hold: three quarters of the file handles that this process may have, so that
// strangers leave some for the database, the policies and the operator.
func maxConnections() int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return mostConnections / 16
	}
	return int(max(16, min(mostConnections, uint64(limit.Cur)/4*3)))
}
