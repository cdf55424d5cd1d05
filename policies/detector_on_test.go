//go:build race

package policies

// rounds is half of what a random test does without the race detector, which makes it ten times slower; these tests have one goroutine.
func rounds(n int) int { return n / 2 }
