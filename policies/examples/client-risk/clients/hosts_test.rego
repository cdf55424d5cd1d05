package policy.clients.hosts_test

import data.lib.mcp.testing
import data.mcp.authz.clients

_decision(stage, client) := d if {
	d := clients.decision with input as {"stage": stage, "client": client}
		with data.config as {"client_hosts": ["agent.example"], "registered_ceiling": ["tools:weather.read"]}
}

test_a_listed_host_is_fetched if {
	_decision("url", {"id": "https://agent.example/c.json", "registration": "cimd", "host": "agent.example"}).allow
}

test_an_unlisted_host_is_not if {
	d := _decision("url", {"id": "https://evil.example/c.json", "registration": "cimd", "host": "evil.example"})
	testing.codes(d) == {"hosts.listed"}
}

test_a_host_that_ends_like_a_listed_one_is_not_it if {
	d := _decision("document", testing.client({"host": "evil-agent.example"}))
	testing.codes(d) == {"hosts.listed"}
}

test_a_registered_client_gets_less if {
	d := _decision("register", testing.client({"registration": "dcr"}))
	d.allow
	d.scope_ceilings == {["tools:weather.read"]}
	d.ttl == 86400
}
