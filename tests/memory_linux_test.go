package tests

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// memoryBound is what the server may have held at most, in kB. A policy that builds one text in one built-in is stopped only after that
// text was made, so the bound is for texts of 100 MB.
const memoryBound = 1 << 20

// G5: rules that want more memory than there is are stopped by the deadline long before that, each of them again and again, and the
// server goes on.
func TestMemoryIsBoundedWhatARuleWants(t *testing.T) {
	t.Parallel()
	growing := `replace(concat("", ["1" | some _ in numbers.range(1, 10000)]), "1", "1111111111")`
	bombs := map[string]string{
		"growing text":     fmt.Sprintf(`count(replace(replace(replace(%s, "1", "1111111111"), "1", "1111111111"), "1", "1111111111")) > 0`, growing),
		"an endless range": `count(numbers.range(1, 1000000000)) > 0`,
		"a whole network":  `count(net.cidr_expand("10.0.0.0/8")) > 0`,
		"many texts":       `count(concat(",", [x | some _ in numbers.range(1, 1000000); x := concat("", ["0123456789" | some _ in numbers.range(1, 1000)])])) > 0`,
		"many pairs":       `count({[i, j] | some i in numbers.range(1, 100000); some j in numbers.range(1, 100000)}) > 0`,
		"a wide number":    `count(sprintf("%999999999d", [1])) > 1000`,
	}
	s := prepare(t, "main.yaml", nil)
	s.editConfig(func(text string) string { return strings.Replace(text, "deadline: 5s", "deadline: 1s", 1) })
	i := 0
	for name, body := range bombs {
		i++
		s.writePolicy(fmt.Sprintf("tools/bomb_%d.rego", i), fmt.Sprintf("package policy.tools.bomb_%d\n\ndeny contains \"x\" if { input.tool.arguments.day == %q; %s }\n", i, name, body))
	}
	s.run()
	b := s.browser(t)
	token := b.tokens(ask()).text("access_token")
	for name := range bombs {
		for range 2 {
			a := b.decide(token, "calendar_list", fmt.Sprintf("{\"day\":%q}", name)).want(200)
			if a.json("decision") != false && name != "a wide number" {
				t.Errorf("G5 %s: %s", name, a.body)
			}
		}
		b.decide(token, "calendar_list", `{"day":"monday"}`).wantDecision(true, "allowed")
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	peak := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(status)
	if peak == nil {
		t.Fatalf("the system does not tell the peak:\n%s", status)
	}
	kB, err := strconv.Atoi(string(peak[1]))
	if err != nil || kB > memoryBound || kB < 10000 {
		t.Errorf("G5: at its peak the server held %d kB, want at most %d", kB, memoryBound)
	}
	t.Logf("at its peak the server held %d kB", kB)
}

// X1: however many strangers hold connections, a quarter of the file handles stays free for the database, the policies and the operator; and
// who is only on the same machine, where the admin listener is open to everybody, takes few.
func TestConnectionsLeaveFileHandles(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		address     func(*server) string
		least, most int
	}{
		"public": {func(s *server) string { return s.issuer }, 128, 256*3/4 + 40},
		"admin":  {func(s *server) string { return s.admin }, 20, 80},
	} {
		t.Run(name, func(t *testing.T) { fileHandles(t, tt.address, tt.least, tt.most) })
	}
}

func fileHandles(t *testing.T, address func(*server) string, least, highest int) {
	s := prepare(t, "main.yaml", nil)
	s.wrap = []string{"sh", "-c", `ulimit -n 256 && exec "$@"`, "sh"}
	s.run()
	besiege(t, address(s), 400)
	most := 0
	for range 100 {
		handles, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.cmd.Process.Pid))
		if err != nil {
			t.Fatal(err)
		}
		most = max(most, len(handles))
		time.Sleep(20 * time.Millisecond)
	}
	if most < least || most > highest {
		t.Errorf("X1: the server had %d of 256 file handles open", most)
	}
	t.Logf("%d of 256 file handles", most)
}
