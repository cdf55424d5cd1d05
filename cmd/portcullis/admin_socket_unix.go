//go:build unix

package main

import (
	"net"
	"syscall"
)

// listenPrivate makes a socket that nobody else can open, not even between its making and a chmod.
func listenPrivate(path string) (net.Listener, error) {
	old := syscall.Umask(0o177)
	defer syscall.Umask(old)
	return net.Listen("unix", path)
}
