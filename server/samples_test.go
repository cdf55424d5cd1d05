package server

import (
	"time"

	"portcullis/oauth"
)

// hostile is what a client might call itself: markup, quotes, a bidirectional override and a claim to be trusted.
const hostile = "</bdi><script>alert(1)</script>\"'&\u202eevil\u202c (verified)"

func cimdClient(name string) oauth.ClientView {
	return oauth.ClientView{ID: "https://claude.example/oauth/client.json", Name: name, Registration: oauth.RegistrationCIMD, Host: "claude.example"}
}

func dcrClient(name string) oauth.ClientView {
	return oauth.ClientView{ID: "c7Yk2", Name: name, Registration: oauth.RegistrationDCR}
}

func staticClient(name string) oauth.ClientView {
	return oauth.ClientView{ID: "demo-cli", Name: name, Registration: oauth.RegistrationStatic, Verified: true}
}

func sampleResource() oauth.ResourceView {
	return oauth.ResourceView{ID: "http://127.0.0.1:3001/mcp", Name: "Office tools"}
}

func sampleScopes() []oauth.ConsentScope {
	return []oauth.ConsentScope{
		{Name: "tools:calendar.read", Description: "Read your calendar", ReadOnly: true, Held: true, Tools: []string{"calendar_list", "calendar_get", "calendar_free_busy", "calendar_search"}},
		{Name: "mcp:exec:functions.get_weather", Description: "Look up the weather", ReadOnly: true, Held: true, Tools: []string{"get_weather"}},
		{Name: "tools:crm.write", Description: "Add and update customers", Tools: []string{"crm_update"}},
		{Name: "tools:payments.transfer", Description: "Send money from the company account", Destructive: true, Risk: "high", Tools: []string{"transfer"}},
	}
}

func sampleConsent(client oauth.ClientView) oauth.ConsentStep {
	return oauth.ConsentStep{
		FormToken: "form-token", User: "alice", Client: client, Resource: sampleResource(), Scopes: sampleScopes(),
		Withheld: []oauth.WithheldScope{{Name: "billing:invoices.write", Code: "not_in_group", Reason: "Only the finance group may let apps write invoices."}},
		Offline:  true, OfflineFor: 30 * 24 * time.Hour, AccessFor: 10 * time.Minute,
		RedirectHost: "127.0.0.1:53211", Loopback: true,
	}
}

func sampleAccount() oauth.Account {
	day := time.Date(2026, 11, 20, 9, 30, 0, 0, time.UTC)
	return oauth.Account{Username: "alice", FormToken: "form-token", Connections: []oauth.Connection{
		{GrantID: "g1", Client: cimdClient("Claude Code"), Resource: sampleResource(), Scopes: sampleScopes(), CreatedAt: day, LastUsedAt: day.Add(76 * time.Hour)},
		{GrantID: "g/2", Client: dcrClient("Cursor"), Resource: oauth.ResourceView{ID: "https://mcp.example.com/everything"}, Scopes: sampleScopes()[:1], CreatedAt: day},
	}}
}
