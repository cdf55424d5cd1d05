package main

import (
	"fmt"
	"slices"
	"strings"
)

// The company that the measurements play: people in groups, tools of four kinds, limits and tenants. allowed is the policy
// of policy/tools and the shipped one once more, in Go, so that every answer can be checked.
const people = 64

type tool struct {
	name, scope           string
	readOnly, destructive bool
}

// toolOf is the tool of a number: two of eight read, three write, two pay, one administers and destroys.
func toolOf(i int) tool {
	switch i % 8 {
	case 0, 1:
		return tool{name: fmt.Sprintf("read_%05d", i), scope: "tools:read", readOnly: true}
	case 2, 3, 4:
		return tool{name: fmt.Sprintf("write_%05d", i), scope: "tools:write"}
	case 5, 6:
		return tool{name: fmt.Sprintf("pay_%05d", i), scope: "tools:pay"}
	}
	return tool{name: fmt.Sprintf("admin_%05d", i), scope: "tools:admin", destructive: true}
}

// groupsOf are the groups of a person.
func groupsOf(person int) []string {
	return [][]string{{"staff"}, {"sales"}, {"finance", "staff"}, {"finance"}}[person%4]
}

// scopesOf are what a token of a number holds: most hold all.
func scopesOf(token int) []string {
	switch token % 8 {
	case 6:
		return []string{"tools:pay", "tools:read", "tools:write"}
	case 7:
		return []string{"tools:read", "tools:write"}
	}
	return []string{"tools:admin", "tools:pay", "tools:read", "tools:write"}
}

// limitOf is what a group may pay.
func limitOf(group string) int {
	return map[string]int{"staff": 400_000_000, "sales": 200_000_000, "finance": 900_000_000}[group]
}

// tenantsOf are whose data a group may change.
func tenantsOf(group string) []string {
	switch group {
	case "staff":
		return []string{"north", "south", "east", "west"}
	case "finance":
		return []string{"north", "south"}
	}
	return []string{"north"}
}

// outOfUse tells whether a tool is blocked.
func outOfUse(name string) bool {
	return name == "read_00008" || name == "write_00010" || name == "pay_00021"
}

// companyConfig is data.config.
func companyConfig() map[string]any {
	limits, tenants := map[string]int{}, map[string][]string{}
	for _, group := range []string{"staff", "sales", "finance"} {
		limits[group], tenants[group] = limitOf(group), tenantsOf(group)
	}
	return map[string]any{"limits": limits, "tenants": tenants, "blocked": []string{"read_00008", "write_00010", "pay_00021"},
		"currencies": []string{"EUR", "USD", "CHF"}}
}

// sample is one question. Its token and its note are its own; everything that the policies read repeats after a number of
// shapes. The amount has nine digits, so that another one can be written over it.
type sample struct {
	token, tool      int
	tenant, currency string
	amount           int
}

// shapes is how many different questions there are before they repeat; they fit into the default cache.
const shapes = 4096

func sampleOf(n, tools int) sample {
	k := n % shapes
	s := sample{token: n, tool: k * 37 % tools, tenant: []string{"north", "north", "north", "south", "north", "west"}[k%6], currency: "EUR", amount: 100_000_000 * (1 + k/7%9)}
	if k%40 == 0 {
		s.currency = "XTS"
	}
	return s
}

// person is whose token it is.
func (s sample) person() int { return s.token % people }

// allowed is what the answer must be.
func (s sample) allowed(amount int) bool {
	t, groups := toolOf(s.tool), groupsOf(s.person())
	switch {
	case outOfUse(t.name):
		return false
	case !slices.Contains(scopesOf(s.token), t.scope):
		return false
	case !t.readOnly && !slices.ContainsFunc(groups, func(g string) bool { return slices.Contains(tenantsOf(g), s.tenant) }):
		return false
	case t.destructive && !slices.Contains(groups, "staff"):
		return false
	case !strings.HasPrefix(t.name, "pay_"):
		return true
	}
	return s.currency != "XTS" && slices.ContainsFunc(groups, func(g string) bool { return amount >= 1 && amount <= limitOf(g) })
}
