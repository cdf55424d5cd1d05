# METADATA
# description: Salaries are for the finance group.
package policy.scopes.payroll

deny_scope contains entry if {
	"office:payroll.read" in input.requested.scopes
	not "finance" in input.subject.groups
	entry := {
		"scope": "office:payroll.read",
		"code": "finance_only",
		"message": "Only the finance group may see salaries.",
	}
}
