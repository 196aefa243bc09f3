package main

import "strings"

// resource is one kind of object the API serves. Only kinds whose objects
// the stand-in gives a meaning to can be written; workloads can't, because
// nothing would run them.
type resource struct {
	group, version string
	name, kind     string
	short          []string
	namespaced     bool
	writable       bool
}

var resources = []resource{
	{"", "v1", "nodes", "Node", []string{"no"}, false, true},
	{"", "v1", "namespaces", "Namespace", []string{"ns"}, false, true},
	{"", "v1", "secrets", "Secret", nil, true, true},
	{"", "v1", "configmaps", "ConfigMap", []string{"cm"}, true, true},
	{"", "v1", "services", "Service", []string{"svc"}, true, false},
	{"", "v1", "endpoints", "Endpoints", []string{"ep"}, true, false},
	{"", "v1", "pods", "Pod", []string{"po"}, true, false},
	{"", "v1", "events", "Event", []string{"ev"}, true, false},
	{"", "v1", "serviceaccounts", "ServiceAccount", []string{"sa"}, true, false},
	{"apps", "v1", "daemonsets", "DaemonSet", []string{"ds"}, true, false},
	{"apps", "v1", "deployments", "Deployment", []string{"deploy"}, true, false},
	{"apps", "v1", "replicasets", "ReplicaSet", []string{"rs"}, true, false},
	{"apps", "v1", "statefulsets", "StatefulSet", []string{"sts"}, true, false},
	{"k3s.cattle.io", "v1", "addons", "Addon", nil, true, false},
	{"helm.cattle.io", "v1", "helmcharts", "HelmChart", nil, true, false},
	{"batch", "v1", "jobs", "Job", nil, true, false},
	{"coordination.k8s.io", "v1", "leases", "Lease", nil, true, false},
}

func (r resource) apiVersion() string {
	if r.group == "" {
		return r.version
	}
	return r.group + "/" + r.version
}

func (r resource) verbs() []string {
	verbs := []string{"get", "list", "watch"}
	if r.writable {
		verbs = append(verbs, "create", "update", "patch", "delete")
	}
	return verbs
}

func (r resource) prefix() string { return "/registry/" + r.name + "/" }

// target is what an API path names.
type target struct {
	resource
	namespace, object, subresource string
}

func (t target) key() string {
	if t.namespaced {
		return t.prefix() + t.namespace + "/" + t.object
	}
	return t.prefix() + t.object
}

// listPrefix is the part of the store that a list or watch covers.
func (t target) listPrefix() string {
	if t.namespaced && t.namespace != "" {
		return t.prefix() + t.namespace + "/"
	}
	return t.prefix()
}

func nodeKey(name string) string              { return "/registry/nodes/" + name }
func secretKey(namespace, name string) string { return "/registry/secrets/" + namespace + "/" + name }
func configMapKey(namespace, name string) string {
	return "/registry/configmaps/" + namespace + "/" + name
}

// parseTarget reads /api/v1/… and /apis/<group>/<version>/… paths.
func parseTarget(path string) (target, bool) {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	var group, version string
	switch {
	case len(parts) >= 3 && parts[0] == "api":
		version, parts = parts[1], parts[2:]
	case len(parts) >= 4 && parts[0] == "apis":
		group, version, parts = parts[1], parts[2], parts[3:]
	default:
		return target{}, false
	}
	t := target{}
	// /namespaces/x/pods names pods; /namespaces/x is the namespace itself.
	if parts[0] == "namespaces" && len(parts) >= 3 {
		t.namespace, parts = parts[1], parts[2:]
	}
	found := false
	for _, r := range resources {
		if r.group == group && r.version == version && r.name == parts[0] {
			t.resource, found = r, true
		}
	}
	if len(parts) > 1 {
		t.object = parts[1]
	}
	if len(parts) > 2 {
		t.subresource = strings.Join(parts[2:], "/")
	}
	// A cluster-wide kind below a namespace is no path; an object of a
	// namespaced kind has a namespace.
	valid := t.namespaced == (t.namespace != "") || (t.namespaced && t.object == "")
	return t, found && valid
}
