package main

// maxConnections is how many connections the public listener may hold. Windows sets no limit of its own.
func maxConnections() int { return mostConnections }
