package policies

import (
	"portcullis/oauth"
)

// CheckOptions say what a policy directory is checked against.
type CheckOptions struct {
	Catalogue  []*oauth.Resource // empty = not known: tools, their arguments, servers and scopes are not checked
	NoDefaults bool              // leave the shipped defaults out, as Config.Defaults = false does
}

// CheckReport is everything that can be said of a policy directory without running its tests.
type CheckReport struct {
	Problems []Problem `json:"problems"` // any keeps the directory from being activated
	Warnings []Problem `json:"warnings"` // what lets calls through by accident, and names that no server has
	Notes    []Problem `json:"notes"`    // what the arguments of tools were checked against, and what could not be checked
	Trials   []Problem `json:"log_only"` // packages that take part in no answer
	Files    int       `json:"files"`

	Cache []Cacheability `json:"cache,omitempty"` // absent if there are problems
}

// Check looks for all problems of a directory at once, in the same way as a server does before it takes the directory.
func Check(dir string, o CheckOptions) (CheckReport, error) {
	s, problems, err := readSource(dir, !o.NoDefaults, o.Catalogue)
	if err != nil {
		return CheckReport{}, err
	}
	p, more, err := s.parse()
	if err != nil {
		return CheckReport{}, err
	}
	report := CheckReport{Problems: append(problems, more...), Warnings: p.warnings, Notes: p.notes, Trials: p.trials, Files: len(s.author)}
	_, more = p.compile(true)
	report.Problems = withCompiled(report.Problems, more)
	if len(report.Problems) == 0 {
		if compiler, _ := p.compile(false); compiler != nil { // as a server compiles it, without print
			report.Cache = p.cacheabilityOf(compiler)
		}
	}
	for _, list := range []*[]Problem{&report.Problems, &report.Warnings, &report.Notes, &report.Trials} {
		*list = append([]Problem{}, sortProblems(withCarets(*list, s.author))...) // never null in JSON
	}
	return report, nil
}
