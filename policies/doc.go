// Package policies decides: which client is admitted, which scopes it may obtain, which call may happen. It is
// the only importer of OPA, and no OPA type appears in its exported names.
//
// How an answer comes about, in the order of the files:
//
//   - files.go reads the shipped Rego (rego/) and the author's directory into memory, once; config_data.go makes
//     data.config of the author's data files, input_schemas.go reads the schemas.
//   - check.go holds the author's packages to a short list of package and rule names. Rego would ignore a misspelled
//     rule, and a deny rule that is ignored allows.
//   - capabilities.go removes the built-ins that reach outside, cannot be repeated, or ignore the deadline;
//     bounds.go refuses calls of the others that would make or compare too much.
//   - source.go puts together what a generation is made of, and load.go compiles everything at once against the input schemas (schemas/), builds the data documents
//     (catalogue.go) and prepares one query per router: that is a generation, and it never changes.
//   - rule_graph.go knows who refers to whom, and rule_choice.go so which tools a rule is about: arguments.go types its arguments by the
//     tools' own schemas (argument_types.go, fields.go). parts.go finds what the author has written: constants, and data.config with the
//     places of config_places.go, also behind variables (variables.go). lookups.go finds what is compared with the input and looked up by
//     it, and values.go and names.go hold that to what there is. absent.go finds what a missing value silences, references.go what
//     leads nowhere below data; vocabulary.go holds what may be defined. passes.go
//     finds the problems that others hide. report.go says all of that to an author, in the same way as to a server, as the problems of problem.go.
//   - runner.go runs *_test packages; a directory whose own tests fail is not activated. coverage.go says what they do not reach.
//   - engine.go holds the generation in force behind an atomic pointer; reload.go swaps it or keeps the last good one;
//     given.go puts files in force that an operator sent, or kept ones (stored.go); changes.go tells what differs. catalogue_stale.go denies
//     the tools that changed so that rules no longer fit them, in the place of keeping what was in force.
//   - input.go turns oauth's types into an OPA document (terms.go); nothing else does. An evaluation gets of it what the rules can read.
//   - evaluate.go runs a query, deadline.go ends it in time; decode.go reads its result strictly.
//   - judge.go answers for the router of tool calls: it asks for the packages' rules and combines their values in Go, with the
//     shapes of shape.go, and the routers of the other kinds are made for the packages that there are (router.go); instrument.go lets those rules tell that they fired.
//   - dependencies.go (with dependencies_get.go for object.get) finds out at load which input paths the rules can read; sieve.go makes a key of their values,
//     from the same code that makes the input, and cache.go remembers answers by it.
//   - listing.go tells which tools a token could call at all, by partial evaluation; listing_classes.go lets it do so once for
//     all tools that the rules cannot tell apart.
//   - modes.go reads which packages are only on trial, and makes a router for each that combines it with the others; log_only.go asks
//     those after the answer is known, and tells what would be another one.
//   - shadow.go asks a whole candidate directory, after answers were given and never before; shadow_rows.go gathers what it would have
//     answered otherwise for the audit.
//   - bundle.go reads an OPA bundle in the place of a directory; bundle_archive.go unpacks it, bundle_signature.go verifies who signed it,
//     and bundle_build.go makes one of a directory.
//   - usage.go is the built-in mcp.usage: how often a tool was called; export_usage.go its stand-in for stock OPA.
//   - decide.go implements oauth.ScopePolicy, oauth.ClientPolicy and oauth.AccessPolicy with these.
//
// What a decision saw and said is kept as a document (record.go), if the operator wants it. input.go writes it, too (record_page.go);
// arguments and other values of callers are replaced by keyed digests (record_digest.go), and an author's package system.log
// keeps back more (record_mask.go, mask_policy.go). The files of each generation are kept, too (stored.go). recorded.go reads a record
// back, reenact.go evaluates it again as a server would have; explain.go (with explain_changes.go and explain_trace.go) says why a decision is what it is, and
// replay.go (with replay_known.go, replay_certain.go and replay_report.go) what a candidate would have said. Neither guesses a value that a record keeps back.
//
// For authors only: query.go evaluates a question, format.go is opa fmt, export.go writes what stock OPA needs, and a folder to
// begin with (skeleton/); served.go makes the same into a bundle of what is in force; catalogue_file.go reads the exported catalogue, measure.go times tests. demo.go holds the policies of the demo.
//
// The routers (rego/mcp/authz), and the judge in the place of one of them, combine the authors' packages (policy.KIND.NAME): allowed iff some package says
// allow == true, none denies, no required scope is missing and no login requirement is unmet. Everything that
// goes wrong on the way is a denial with the code policy_error; its detail stands in Reason.Policy, for the
// audit, and never holds a value from the input.
package policies
