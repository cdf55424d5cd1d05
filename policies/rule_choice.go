package policies

import "maps"

// choice says which tools of which servers a rule is about. A nil set means any.
type choice struct{ tools, servers map[string]bool }

func (c choice) meet(d choice) choice {
	return choice{tools: meetSets(c.tools, d.tools), servers: meetSets(c.servers, d.servers)}
}

func (c choice) join(d choice) choice {
	return choice{tools: joinSets(c.tools, d.tools), servers: joinSets(c.servers, d.servers)}
}

func meetSets(a, b map[string]bool) map[string]bool {
	if a == nil || b == nil {
		return maps.Clone(joinOrOther(a, b))
	}
	both := map[string]bool{}
	for x := range a {
		if b[x] {
			both[x] = true
		}
	}
	return both
}

func joinOrOther(a, b map[string]bool) map[string]bool {
	if a == nil {
		return b
	}
	return a
}

func joinSets(a, b map[string]bool) map[string]bool {
	if a == nil || b == nil {
		return nil
	}
	all := maps.Clone(a)
	maps.Copy(all, b)
	return all
}
