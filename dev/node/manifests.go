package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"sort"
	"strings"
)

// applyManifests applies the ConfigMaps in this server's manifests directory, once. k3s applies everything
// there, and again at every change; what is not a plain ConfigMap is refused here, with a log line.
func (s *server) applyManifests() {
	files, _ := filepath.Glob(s.cfg.serverDir("manifests", "*.yaml"))
	sort.Strings(files)
	for _, file := range files {
		if filepath.Base(file) == "coredns.yaml" {
			continue // ours, and in the store already
		}
		if err := s.applyManifest(file); err != nil {
			logf(levelError, "Failed to process config: failed to process %s: %v", file, err)
			continue
		}
		infof("Applied manifest at %q", file)
	}
}

func (s *server) applyManifest(file string) error {
	raw, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), storeDeadline)
	defer cancel()
	for _, text := range regexp.MustCompile(`(?m)^---\s*$`).Split(string(raw), -1) {
		if strings.TrimSpace(text) == "" {
			continue
		}
		o, err := parseConfigMap(text)
		if err != nil {
			return err
		}
		if err := applyObject(ctx, s.store, o); err != nil {
			return err
		}
	}
	return nil
}

// applyObject creates a ConfigMap, or replaces the data of the one that is there.
func applyObject(ctx context.Context, st *store, o object) error {
	key := configMapKey(stringField(o, "metadata", "namespace"), stringField(o, "metadata", "name"))
	return st.update(ctx, key, func(old []byte) ([]byte, error) {
		if old == nil {
			return encode(o)
		}
		var found object
		if err := json.Unmarshal(old, &found); err != nil {
			return nil, err
		}
		if reflect.DeepEqual(stringMap(found, "data"), stringMap(o, "data")) {
			return nil, nil
		}
		found["data"] = o["data"]
		return encode(found)
	})
}

var (
	manifestSection = regexp.MustCompile(`^([A-Za-z]+):\s*(\S.*)?$`)
	manifestEntry   = regexp.MustCompile(`^  ([A-Za-z0-9._-]+):\s*(\S.*)?$`)
)

// parseConfigMap reads the part of YAML that a ConfigMap of plain values and literal blocks takes; of
// metadata it takes the name and the namespace.
func parseConfigMap(text string) (object, error) {
	top := map[string]string{}
	sections := map[string]map[string]string{"metadata": {}, "data": {}}
	current := ""
	lines := strings.Split(text, "\n")
	for i := 0; i < len(lines); i++ {
		line := strings.TrimRight(lines[i], " \r")
		if line == "" || strings.HasPrefix(strings.TrimSpace(line), "#") {
			continue
		}
		if m := manifestSection.FindStringSubmatch(line); m != nil {
			current = m[1]
			top[m[1]] = unquoted(m[2])
			continue
		}
		m := manifestEntry.FindStringSubmatch(line)
		if m == nil || sections[current] == nil {
			return nil, fmt.Errorf("line %d: the stand-in reads ConfigMaps of plain values and literal blocks only", i+1)
		}
		if m[2] != "|" {
			sections[current][m[1]] = unquoted(m[2])
			continue
		}
		var block string
		block, i = literalBlock(lines, i+1)
		sections[current][m[1]] = block
	}
	if top["kind"] != "ConfigMap" || sections["metadata"]["name"] == "" {
		return nil, fmt.Errorf("kind %q: the stand-in applies ConfigMaps only", top["kind"])
	}
	namespace := sections["metadata"]["namespace"]
	if namespace == "" {
		namespace = "default"
	}
	o := newObject("v1", "ConfigMap", namespace, sections["metadata"]["name"])
	data := object{}
	for key, value := range sections["data"] {
		data[key] = value
	}
	o["data"] = data
	return o, nil
}

// literalBlock returns the text of a block that begins at a line, and the last line of it.
func literalBlock(lines []string, at int) (string, int) {
	indent := -1
	var block []string
	for ; at < len(lines); at++ {
		line := lines[at]
		depth := len(line) - len(strings.TrimLeft(line, " "))
		if strings.TrimSpace(line) == "" {
			block = append(block, "")
			continue
		}
		if indent < 0 {
			indent = depth
		}
		if depth < indent || depth < 3 {
			break
		}
		block = append(block, line[indent:])
	}
	return strings.TrimRight(strings.Join(block, "\n"), "\n") + "\n", at - 1
}

func unquoted(text string) string {
	if len(text) >= 2 && text[0] == text[len(text)-1] && strings.ContainsRune(`"'`, rune(text[0])) {
		return text[1 : len(text)-1]
	}
	return text
}
