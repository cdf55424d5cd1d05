//go:build race

package faults

// raceDetector: the server under test is built with it too.
const raceDetector = true
