//go:build !race

package policies

// rounds is how often a random test goes round: n times.
func rounds(n int) int { return n }
