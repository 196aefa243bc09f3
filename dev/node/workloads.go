package main

import (
	"context"
	"encoding/json"
	"strings"
	"time"
)

const systemNamespace = "kube-system"

func systemKey(resource, name string) string {
	return "/registry/" + resource + "/" + systemNamespace + "/" + name
}
func addonKey(name string) string      { return systemKey("addons", name) }
func chartKey(name string) string      { return systemKey("helmcharts", name) }
func jobKey(name string) string        { return systemKey("jobs", name) }
func deploymentKey(name string) string { return systemKey("deployments", name) }
func daemonsetKey(name string) string  { return systemKey("daemonsets", name) }

func newDeployment(name string) object {
	o := newObject("apps/v1", "Deployment", systemNamespace, name)
	section(o, "metadata")["generation"] = 1
	o["spec"] = object{"replicas": 1}
	o["status"] = object{"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "unavailableReplicas": 1}
	setCondition(o, "Available", "False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
	setCondition(o, "Progressing", "True", "ReplicaSetUpdated", "ReplicaSet \""+name+"\" is progressing.")
	return o
}

// workloads plays what the controllers, the scheduler and kubelets do with the
// workloads of kube-system. There are no pods: a deployment becomes available
// some time after a Node is Ready, and stays so.
type workloads struct {
	server *server
	due    map[string]time.Time // when what is not there yet will be
	next   time.Duration        // until something is due
}

// superviseWorkloads acts on changes and when something is due.
func (s *server) superviseWorkloads() {
	w := &workloads{server: s, due: map[string]time.Time{}}
	for {
		_, revision := s.store.list(nodeKey(""))
		w.next = time.Hour
		if s.inCharge() {
			w.advance()
		} else {
			w.next = s.cfg.times.heartbeat
		}
		_, _, changed, err := s.store.since(revision)
		if err != nil || s.store.isNewer(revision) {
			continue
		}
		timer := time.NewTimer(w.next)
		select {
		case <-changed:
		case <-timer.C:
		}
		timer.Stop()
	}
}

func (w *workloads) advance() {
	for _, chart := range w.lacking("helmcharts", func(o object) bool { return stringField(o, "status", "jobName") != "" }) {
		w.giveJob(stringField(chart, "metadata", "name"))
	}
	nodes, ready := w.countNodes()
	if ready == 0 {
		return
	}
	times := w.server.cfg.times
	for _, o := range w.lacking("deployments", func(o object) bool { return isTrue(o, "Available") }) {
		name := stringField(o, "metadata", "name")
		if w.isDue("deployment "+name, times.pods) {
			w.change(deploymentKey(name), makeAvailable)
		}
	}
	for _, o := range w.lacking("jobs", func(o object) bool { return isTrue(o, "Complete") }) {
		name := stringField(o, "metadata", "name")
		if w.isDue("job "+name, times.chart) {
			w.install(name)
		}
	}
	for _, o := range w.lacking("daemonsets", func(object) bool { return false }) {
		name := stringField(o, "metadata", "name")
		available := 0
		if w.isDue("daemonset "+name, times.pods) {
			available = ready
		}
		w.change(daemonsetKey(name), func(o object) bool { return setDaemonset(o, nodes, available) })
	}
}

// lacking lists the workloads of a kind that have not come as far as to satisfy done.
func (w *workloads) lacking(resource string, done predicate) []object {
	entries, _ := w.server.store.list(systemKey(resource, ""))
	var found []object
	for _, e := range entries {
		if o, err := decode(e.value, e.revision); err == nil && !done(o) {
			found = append(found, o)
		}
	}
	return found
}

func (w *workloads) countNodes() (all, ready int) {
	entries, _ := w.server.store.list(nodeKey(""))
	for _, e := range entries {
		if o, err := decode(e.value, e.revision); err == nil && isTrue(o, "Ready") {
			ready++
		}
	}
	return len(entries), ready
}

func isTrue(o object, kind string) bool { return condition(o, kind)["status"] == "True" }

// isDue starts the clock of a workload when it is first asked about it.
func (w *workloads) isDue(workload string, after time.Duration) bool {
	if w.server.cfg.neverAvailable(workload[strings.Index(workload, " ")+1:]) {
		return false
	}
	due, known := w.due[workload]
	if !known {
		due = time.Now().Add(after)
		w.due[workload] = due
	}
	rest := time.Until(due)
	if rest > 0 && rest < w.next {
		w.next = rest
	}
	return rest <= 0
}

// giveJob is k3s's helm controller.
func (w *workloads) giveJob(chart string) {
	name := "helm-install-" + chart
	job := newObject("batch/v1", "Job", systemNamespace, name)
	section(job, "metadata")["generation"] = 1
	job["status"] = object{"active": 1}
	w.create(jobKey(name), job)
	w.change(chartKey(chart), func(o object) bool {
		section(o, "status")["jobName"] = name
		return true
	})
}

// install is what the job of a chart does, and k3s's service load balancer
// with the service that it makes.
func (w *workloads) install(job string) {
	if job == "helm-install-traefik" {
		w.create(deploymentKey("traefik"), newDeployment("traefik"))
		if !w.server.cfg.disabled["servicelb"] {
			ports := newObject("apps/v1", "DaemonSet", systemNamespace, "svclb-traefik")
			section(ports, "metadata")["generation"] = 1
			w.create(daemonsetKey("svclb-traefik"), ports)
		}
	}
	w.change(jobKey(job), func(o object) bool {
		st := section(o, "status")
		delete(st, "active")
		st["succeeded"] = 1
		return setCondition(o, "Complete", "True", "", "")
	})
}

func makeAvailable(o object) bool {
	st := section(o, "status")
	delete(st, "unavailableReplicas")
	st["availableReplicas"], st["readyReplicas"] = 1, 1
	name := stringField(o, "metadata", "name")
	setCondition(o, "Progressing", "True", "NewReplicaSetAvailable", "ReplicaSet \""+name+"\" has successfully progressed.")
	return setCondition(o, "Available", "True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
}

func setDaemonset(o object, wanted, available int) bool {
	st := section(o, "status")
	was, _ := json.Marshal(st)
	st["observedGeneration"] = 1
	st["desiredNumberScheduled"], st["currentNumberScheduled"] = wanted, wanted
	st["numberAvailable"], st["numberReady"], st["numberUnavailable"] = available, available, wanted-available
	now, _ := json.Marshal(st)
	return string(was) != string(now)
}

// create and change leave failures to the next turn: without a quorum nothing
// of this goes on, as in a real cluster.
func (w *workloads) create(key string, o object) {
	ctx, cancel := context.WithTimeout(context.Background(), storeDeadline)
	defer cancel()
	if err := createIfMissing(ctx, w.server.store, key, o); err != nil {
		w.retry()
	}
}

func (w *workloads) change(key string, alter func(object) bool) {
	if err := w.server.change(key, alter); err != nil {
		w.retry()
	}
}

func (w *workloads) retry() { w.next = minHeartbeat }

// change alters an object unless the function says that nothing is to be written.
func (s *server) change(key string, alter func(object) bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), storeDeadline)
	defer cancel()
	return s.store.update(ctx, key, func(old []byte) ([]byte, error) {
		if old == nil {
			return nil, errNotFound
		}
		var o object
		if err := json.Unmarshal(old, &o); err != nil {
			return nil, err
		}
		if !alter(o) {
			return nil, nil
		}
		return encode(o)
	})
}
