//go:build !race

package faults

// raceDetector: the server under test is built without it.
const raceDetector = false
