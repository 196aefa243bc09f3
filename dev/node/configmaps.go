package main

import (
	"fmt"
	"strings"
)

// parseConfigMaps reads manifests of ConfigMaps as tools write them by hand:
// two spaces a level, plain values and literal blocks. It is no YAML reader, and
// refuses what it does not understand rather than guess.
func parseConfigMaps(text string) ([]object, error) {
	var found []object
	for _, document := range strings.Split("\n"+text, "\n---") {
		o, err := parseConfigMap(document)
		if err != nil {
			return nil, err
		}
		if o != nil {
			found = append(found, o)
		}
	}
	return found, nil
}

func parseConfigMap(document string) (object, error) {
	top, meta, data := map[string]string{}, map[string]string{}, map[string]string{}
	sections := map[string]map[string]string{"metadata": meta, "data": data}
	into := top
	lines := strings.Split(document, "\n")
	for i := 0; i < len(lines); i++ {
		line := strings.TrimRight(lines[i], " \r")
		trimmed := strings.TrimSpace(line)
		if trimmed == "" || strings.HasPrefix(trimmed, "#") {
			continue
		}
		key, value, isPair := strings.Cut(trimmed, ":")
		indent := len(line) - len(strings.TrimLeft(line, " "))
		value = strings.TrimSpace(value)
		switch {
		case !isPair || indent > 2 || indent == 1:
			return nil, fmt.Errorf("line %d of a manifest is not understood: %q", i, trimmed)
		case indent == 0 && value == "":
			if into = sections[key]; into == nil {
				return nil, fmt.Errorf("only ConfigMaps of manifests are applied, not what has %q", key)
			}
		case indent == 0:
			into = top
			into[key] = unquoted(value)
		case value == "|" || value == "|-":
			var block []string
			for i+1 < len(lines) && (strings.TrimSpace(lines[i+1]) == "" || strings.HasPrefix(lines[i+1], "   ")) {
				i++
				block = append(block, lines[i])
			}
			into[key] = literal(block, value == "|")
		default:
			into[key] = unquoted(value)
		}
	}
	if len(top) == 0 {
		return nil, nil
	}
	if top["kind"] != "ConfigMap" || meta["name"] == "" {
		return nil, fmt.Errorf("only ConfigMaps of manifests are applied, not kind %q", top["kind"])
	}
	return configMap(meta, data), nil
}

func configMap(meta, data map[string]string) object {
	namespace := meta["namespace"]
	if namespace == "" {
		namespace = "default"
	}
	o := newObject("v1", "ConfigMap", namespace, meta["name"])
	values := object{}
	for key, value := range data {
		values[key] = value
	}
	o["data"] = values
	return o
}

// literal joins a block without the indentation of its first line.
func literal(block []string, keepsEnd bool) string {
	indent := ""
	if len(block) > 0 {
		indent = block[0][:len(block[0])-len(strings.TrimLeft(block[0], " "))]
	}
	for i, line := range block {
		block[i] = strings.TrimPrefix(line, indent)
	}
	text := strings.TrimRight(strings.Join(block, "\n"), "\n ")
	if keepsEnd {
		text += "\n"
	}
	return text
}

func unquoted(value string) string {
	if len(value) >= 2 && (value[0] == '"' || value[0] == '\'') && value[0] == value[len(value)-1] {
		return value[1 : len(value)-1]
	}
	return value
}
