package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"text/tabwriter"
)

const tableAccept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"

// get is "kubectl get": the server's Table, or its JSON.
func (c *kubeClient) get(call kubectlCall) error {
	if path, ok := call.flag("raw"); ok {
		data, err := c.do(http.MethodGet, path, "", "", nil)
		if err == nil {
			_, err = os.Stdout.Write(data)
		}
		return err
	}
	if len(call.words) < 2 {
		return errors.New("you must specify the type of resource to get")
	}
	path, err := getPath(call)
	if err != nil {
		return err
	}
	output, _ := call.flag("o", "output")
	switch output {
	case "json":
		return c.printJSON(path)
	case "", "wide", "name":
		data, err := c.do(http.MethodGet, path, "", tableAccept, nil)
		if err != nil {
			return err
		}
		return printTable(data, call, output)
	}
	return fmt.Errorf("unable to match a printer suitable for the output format %q", output)
}

// getPath finds the API path of "kubectl get KIND [NAME]", and of a delete.
func getPath(call kubectlCall) (string, error) {
	kind, name, _ := strings.Cut(call.words[1], "/")
	if len(call.words) > 2 {
		name = call.words[2]
	}
	for _, r := range resources {
		if !r.called(kind) {
			continue
		}
		path := "/apis/" + r.apiVersion()
		if r.group == "" {
			path = "/api/" + r.version
		}
		_, everywhere := call.flag("A", "all-namespaces")
		if r.namespaced && !everywhere {
			namespace, ok := call.flag("n", "namespace")
			if !ok {
				namespace = "default"
			}
			path += "/namespaces/" + namespace
		}
		path += "/" + r.name
		if name != "" {
			return path + "/" + name, nil
		}
		selector, _ := call.flag("l", "selector")
		return path + "?labelSelector=" + url.QueryEscape(selector), nil
	}
	return "", fmt.Errorf("the server doesn't have a resource type %q", kind)
}

func (r resource) called(word string) bool {
	for _, short := range r.short {
		if word == short {
			return true
		}
	}
	return word == r.name || word == strings.ToLower(r.kind)
}

func (c *kubeClient) printJSON(path string) error {
	data, err := c.do(http.MethodGet, path, "", "", nil)
	var o object
	if err == nil {
		err = json.Unmarshal(data, &o)
	}
	if err != nil {
		return err
	}
	pretty, err := json.MarshalIndent(o, "", "    ")
	fmt.Println(string(pretty))
	return err
}

func printTable(data []byte, call kubectlCall, output string) error {
	var t struct {
		ColumnDefinitions []struct {
			Name     string
			Priority int
		}
		Rows []struct{ Cells []interface{} }
	}
	if err := json.Unmarshal(data, &t); err != nil {
		return err
	}
	if len(t.Rows) == 0 {
		fmt.Fprintln(os.Stderr, "No resources found")
		return nil
	}
	kind, _, _ := strings.Cut(call.words[1], "/")
	w := tabwriter.NewWriter(os.Stdout, 0, 8, 3, ' ', 0)
	printRow := func(cell func(int) interface{}) {
		var line []string
		for i, column := range t.ColumnDefinitions {
			if column.Priority == 0 || output == "wide" {
				line = append(line, fmt.Sprint(cell(i)))
			}
		}
		fmt.Fprintln(w, strings.Join(line, "\t"))
	}
	if _, hidden := call.flag("no-headers"); !hidden && output != "name" {
		printRow(func(i int) interface{} { return strings.ToUpper(t.ColumnDefinitions[i].Name) })
	}
	for _, row := range t.Rows {
		if output == "name" {
			fmt.Fprintf(w, "%s/%v\n", singular(kind), row.Cells[0])
			continue
		}
		printRow(func(i int) interface{} { return row.Cells[i] })
	}
	return w.Flush()
}

func singular(word string) string {
	for _, r := range resources {
		if r.called(word) {
			return strings.ToLower(r.kind)
		}
	}
	return word
}
