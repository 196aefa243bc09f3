package main

import (
	"net/http"
	"runtime"
	"strings"
)

// serveDiscovery answers what kubectl asks before its first request.
func (a *api) serveDiscovery(w http.ResponseWriter, path string) bool {
	switch path {
	case "/version":
		writeJSON(w, http.StatusOK, versionInfo(a.cfg.version))
	case "/api":
		writeJSON(w, http.StatusOK, object{"kind": "APIVersions", "versions": []string{"v1"},
			"serverAddressByClientCIDRs": []object{{"clientCIDR": "0.0.0.0/0", "serverAddress": a.cfg.nodeIP + ":6443"}}})
	case "/apis":
		writeJSON(w, http.StatusOK, object{"kind": "APIGroupList", "apiVersion": "v1", "groups": groupList()})
	default:
		return a.serveGroup(w, path)
	}
	return true
}

// serveGroup answers /api/v1, /apis/<group> and /apis/<group>/<version>.
func (a *api) serveGroup(w http.ResponseWriter, path string) bool {
	for _, group := range groupList() {
		if path == "/apis/"+group["name"].(string) {
			writeJSON(w, http.StatusOK, group)
			return true
		}
	}
	groupVersion := strings.TrimPrefix(strings.TrimPrefix(path, "/apis/"), "/api/")
	list := resourceList(groupVersion)
	if len(list) == 0 || (path != "/api/v1" && !strings.HasPrefix(path, "/apis/")) {
		return false
	}
	writeJSON(w, http.StatusOK, object{"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": groupVersion, "resources": list})
	return true
}

func groupList() []object {
	var groups []object
	seen := map[string]bool{"": true}
	for _, r := range resources {
		if seen[r.group] {
			continue
		}
		seen[r.group] = true
		version := object{"groupVersion": r.apiVersion(), "version": r.version}
		groups = append(groups, object{"kind": "APIGroup", "apiVersion": "v1", "name": r.group,
			"versions": []object{version}, "preferredVersion": version})
	}
	return groups
}

func resourceList(groupVersion string) []object {
	var list []object
	for _, r := range resources {
		if r.apiVersion() != groupVersion {
			continue
		}
		item := object{"name": r.name, "singularName": strings.ToLower(r.kind), "namespaced": r.namespaced, "kind": r.kind, "verbs": r.verbs()}
		if r.short != nil {
			item["shortNames"] = r.short
		}
		list = append(list, item)
		if r.name == "nodes" {
			list = append(list, object{"name": "nodes/status", "singularName": "", "namespaced": false, "kind": "Node", "verbs": []string{"get", "patch", "update"}})
		}
	}
	return list
}

// versionInfo splits a k3s version such as v1.21.2+k3s1.
func versionInfo(version string) object {
	numbers := strings.SplitN(strings.TrimPrefix(version, "v"), ".", 3)
	for len(numbers) < 2 {
		numbers = append(numbers, "0")
	}
	return object{"major": numbers[0], "minor": numbers[1], "gitVersion": version, "gitCommit": commitHash,
		"gitTreeState": "clean", "buildDate": "2021-06-22T00:00:00Z", "goVersion": runtime.Version(),
		"compiler": "gc", "platform": runtime.GOOS + "/" + runtime.GOARCH}
}
