package oauth

import "time"

// failureKeys are the two counters of a login: the person at one place, and the person anywhere. They are hashed, or a
// password typed into the wrong field would be kept.
func failureKeys(name, ip string) [2]string {
	return [2]string{"place:" + hexOf(HashSecret(name+"|"+AddressBlock(ip, 24))), "user:" + hexOf(HashSecret(name))}
}

// loginDelay grows with the failures and never locks for good: at one place up to 15 minutes, for a person anywhere up to
// 5 seconds, so that a stranger cannot keep the owner out (DESIGN §9).
func loginDelay(failures, counter int) time.Duration {
	free, longest := 3, 15*time.Minute
	if counter == 1 {
		free, longest = 10, 5*time.Second
	}
	if failures <= free {
		return 0
	}
	return min(time.Second<<min(failures-free-1, 20), longest)
}

// maxWaiting logins of one name may wait for their turn.
const maxWaiting = 8
