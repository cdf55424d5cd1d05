package main

import "net"

// listenPrivate makes a socket; on Windows the folder that it lies in says who may open it.
func listenPrivate(path string) (net.Listener, error) { return net.Listen("unix", path) }
