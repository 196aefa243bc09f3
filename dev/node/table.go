package main

import (
	"fmt"
	"sort"
	"strings"
	"time"
)

// column describes a column of a Table answer; priority 1 is for -o wide.
type column struct {
	name     string
	priority int
	cell     func(object) interface{}
}

var (
	nameColumn = column{"Name", 0, func(o object) interface{} { return stringField(o, "metadata", "name") }}
	ageColumn  = column{"Age", 0, func(o object) interface{} { return age(stringField(o, "metadata", "creationTimestamp")) }}
)

var nodeColumns = []column{
	nameColumn,
	{"Status", 0, nodeStatus},
	{"Roles", 0, nodeRoles},
	ageColumn,
	{"Version", 0, nodeInfoCell("kubeletVersion")},
	{"Internal-IP", 1, nodeAddressCell("InternalIP")},
	{"External-IP", 1, nodeAddressCell("ExternalIP")},
	{"OS-Image", 1, nodeInfoCell("osImage")},
	{"Kernel-Version", 1, nodeInfoCell("kernelVersion")},
	{"Container-Runtime", 1, nodeInfoCell("containerRuntimeVersion")},
}

// columnsOf gives the columns kubectl shows for a kind.
func columnsOf(kind string) []column {
	switch kind {
	case "Node":
		return nodeColumns
	case "Namespace":
		return []column{nameColumn, {"Status", 0, textCell("status", "phase")}, ageColumn}
	case "Secret":
		return []column{nameColumn, {"Type", 0, textCell("type")}, {"Data", 0, countCell("data")}, ageColumn}
	case "ConfigMap":
		return []column{nameColumn, {"Data", 0, countCell("data")}, ageColumn}
	case "Service":
		return []column{nameColumn, {"Type", 0, textCell("spec", "type")}, {"Cluster-IP", 0, textCell("spec", "clusterIP")}, ageColumn}
	}
	return []column{nameColumn, ageColumn}
}

func textCell(path ...string) func(object) interface{} {
	return func(o object) interface{} { return stringField(o, path...) }
}

func countCell(name string) func(object) interface{} {
	return func(o object) interface{} {
		m, _ := o[name].(object)
		return len(m)
	}
}

func nodeStatus(o object) interface{} {
	status := "Unknown"
	if c := condition(o, "Ready"); c != nil {
		status = "NotReady"
		if c["status"] == "True" {
			status = "Ready"
		}
	}
	if field(o, "spec", "unschedulable") == true {
		status += ",SchedulingDisabled"
	}
	return status
}

func nodeRoles(o object) interface{} {
	const prefix = "node-role.kubernetes.io/"
	var roles []string
	for label := range stringMap(o, "metadata", "labels") {
		if role := strings.TrimPrefix(label, prefix); role != label && role != "" {
			roles = append(roles, role)
		}
	}
	if len(roles) == 0 {
		return "<none>"
	}
	sort.Strings(roles)
	return strings.Join(roles, ",")
}

func nodeInfoCell(name string) func(object) interface{} {
	return func(o object) interface{} { return stringField(o, "status", "nodeInfo", name) }
}

func nodeAddressCell(kind string) func(object) interface{} {
	return func(o object) interface{} {
		list, _ := field(o, "status", "addresses").([]interface{})
		if at := indexOf(list, "type", kind); at >= 0 {
			return list[at].(object)["address"]
		}
		return "<none>"
	}
}

// wantsTable reads the Accept header of kubectl get.
func wantsTable(accept string) bool {
	first, _, _ := strings.Cut(accept, ",")
	return strings.Contains(first, "as=Table")
}

// table renders objects. includeObject says how much of each comes along:
// its metadata, all of it, or nothing.
func table(kind string, objects []object, revision, includeObject string) object {
	columns := columnsOf(kind)
	definitions := make([]object, len(columns))
	for i, c := range columns {
		definitions[i] = object{"name": c.name, "type": "string", "format": "", "description": "", "priority": c.priority}
	}
	definitions[0]["format"] = "name"
	rows := make([]object, len(objects))
	for i, o := range objects {
		rows[i] = row(columns, o, includeObject)
	}
	return object{"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": object{"resourceVersion": revision},
		"columnDefinitions": definitions, "rows": rows}
}

func row(columns []column, o object, includeObject string) object {
	cells := make([]interface{}, len(columns))
	for i, c := range columns {
		cells[i] = c.cell(o)
	}
	r := object{"cells": cells}
	switch includeObject {
	case "None":
	case "Object":
		r["object"] = o
	default:
		r["object"] = object{"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": o["metadata"]}
	}
	return r
}

// age is the time since then as kubectl writes it.
func age(since string) string {
	t, err := time.Parse(time.RFC3339, since)
	if err != nil {
		return "<unknown>"
	}
	d := time.Since(t)
	seconds, minutes, hours := int(d.Seconds()), int(d.Minutes()), int(d.Hours())
	switch {
	case seconds < 120:
		return fmt.Sprintf("%ds", seconds)
	case minutes < 10:
		return withRest(minutes, "m", seconds%60, "s")
	case minutes < 180:
		return fmt.Sprintf("%dm", minutes)
	case hours < 8:
		return withRest(hours, "h", minutes%60, "m")
	case hours < 48:
		return fmt.Sprintf("%dh", hours)
	case hours < 24*8:
		return withRest(hours/24, "d", hours%24, "h")
	}
	return fmt.Sprintf("%dd", hours/24)
}

func withRest(n int, unit string, rest int, restUnit string) string {
	if rest == 0 {
		return fmt.Sprintf("%d%s", n, unit)
	}
	return fmt.Sprintf("%d%s%d%s", n, unit, rest, restUnit)
}
