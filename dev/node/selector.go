package main

import (
	"fmt"
	"regexp"
	"strings"
)

// predicate says whether an object is selected.
type predicate func(object) bool

// parseSelectors reads the query parameters labelSelector and fieldSelector.
func parseSelectors(labels, fields string) (predicate, error) {
	var all []predicate
	for _, item := range splitSelector(labels) {
		p, err := labelRequirement(item)
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	for _, item := range splitSelector(fields) {
		p, err := fieldRequirement(item)
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return func(o object) bool {
		for _, p := range all {
			if !p(o) {
				return false
			}
		}
		return true
	}, nil
}

// splitSelector splits at commas outside parentheses.
func splitSelector(text string) []string {
	var items []string
	depth, start := 0, 0
	for i, r := range text + "," {
		switch {
		case r == '(':
			depth++
		case r == ')':
			depth--
		case r == ',' && depth == 0:
			if item := strings.TrimSpace(text[start:i]); item != "" {
				items = append(items, item)
			}
			start = i + 1
		}
	}
	return items
}

var (
	setRequirement   = regexp.MustCompile(`^(\S+)\s+(in|notin)\s*\((.*)\)$`)
	equalRequirement = regexp.MustCompile(`^([^=!\s]+)\s*(==|!=|=)\s*(\S*)$`)
)

func labelRequirement(item string) (predicate, error) {
	if m := setRequirement.FindStringSubmatch(item); m != nil {
		values := map[string]bool{}
		for _, v := range strings.Split(m[3], ",") {
			values[strings.TrimSpace(v)] = true
		}
		return func(o object) bool {
			v, has := stringMap(o, "metadata", "labels")[m[1]]
			return (has && values[v]) == (m[2] == "in")
		}, nil
	}
	if m := equalRequirement.FindStringSubmatch(item); m != nil {
		return func(o object) bool {
			v, has := stringMap(o, "metadata", "labels")[m[1]]
			return (has && v == m[3]) == (m[2] != "!=")
		}, nil
	}
	name := strings.TrimPrefix(item, "!")
	if name == "" || strings.ContainsAny(name, "=! ()<>") {
		return nil, fmt.Errorf("unable to parse requirement: %q", item)
	}
	return func(o object) bool {
		_, has := stringMap(o, "metadata", "labels")[name]
		return has != strings.HasPrefix(item, "!")
	}, nil
}

func fieldRequirement(item string) (predicate, error) {
	m := equalRequirement.FindStringSubmatch(item)
	if m == nil {
		return nil, fmt.Errorf("invalid field selector %q", item)
	}
	path := strings.Split(m[1], ".")
	return func(o object) bool {
		value := field(o, path...)
		text := ""
		if value != nil {
			text = fmt.Sprint(value)
		}
		return (text == m[3]) == (m[2] != "!=")
	}, nil
}
