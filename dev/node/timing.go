package main

import "time"

// timing holds every delay of a node. Moments are measured from the event
// named in the comment, so that work done meanwhile does not add to them.
type timing struct {
	// From the start of the process.
	starting  time.Duration // "Starting k3s …"
	datastore time.Duration // earliest "etcd data store connection OK" of an init server
	join      time.Duration // a joining server asks to be a member

	// From the data store's "OK" (server).
	listen     time.Duration // 6443 accepts, everything answers 503
	kubeconfig time.Duration // kubeconfig written
	cacerts    time.Duration // the supervisor answers
	containerd time.Duration
	api        time.Duration // the API server answers
	up         time.Duration // "k3s is up and running"
	kubelet    time.Duration // "Started kubelet"
	register   time.Duration // Node object exists

	// From the moment an agent got its configuration from a server.
	agentContainerd time.Duration
	agentConnect    time.Duration
	agentKubelet    time.Duration
	agentRegister   time.Duration

	// From the registration.
	cidr  time.Duration // "Node CIDR assigned for: …"
	ready time.Duration // condition Ready becomes true

	// What k3s deploys: assumed, not measured, with images that are there.
	stage time.Duration // from the API: its manifests are on the disk
	apply time.Duration // of one manifest
	pods  time.Duration // from a Ready Node and a deployment: it is available
	chart time.Duration // from a Ready Node and a job: the chart is installed

	// Periods.
	scan        time.Duration // k3s looks for changed manifests
	caRetry     time.Duration // an agent's retry while the server is absent
	configRetry time.Duration // an agent's retry while the server is half up
	learnerPoll time.Duration // a joiner's question whether it was promoted
	promoteTick time.Duration // the leader's ticker, one promotion per tick
	heartbeat   time.Duration
	grace       time.Duration // silence after which a node is NotReady
	stall       time.Duration // a learner without progress is removed after this
	etcdBeat    time.Duration // etcd's heartbeat; its election timeout is five of them
}

// measured are the delays of real k3s v1.21.2 on two cores.
func measured() timing {
	seconds := func(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
	return timing{
		starting: seconds(0.3), datastore: seconds(1.4), join: seconds(0.9),
		listen: seconds(0.6), kubeconfig: seconds(1.1), cacerts: seconds(1.6), containerd: seconds(2.2),
		api: seconds(4.4), up: seconds(4.8), kubelet: seconds(7.5), register: seconds(7.7),
		agentContainerd: seconds(0.8), agentConnect: seconds(1.2), agentKubelet: seconds(7.0), agentRegister: seconds(7.3),
		cidr: seconds(10.2), ready: seconds(10.5),
		stage: seconds(0.5), apply: seconds(0.1), pods: seconds(8), chart: seconds(6), scan: seconds(15),
		caRetry: seconds(2), configRetry: seconds(5), learnerPoll: seconds(5), promoteTick: seconds(15),
		heartbeat: seconds(10), grace: seconds(40), stall: seconds(300), etcdBeat: maxEtcdBeat,
	}
}

// moments lists the delays that a slow node stretches; periods are those that
// only the overall scale changes.
func (t *timing) moments() []*time.Duration {
	return []*time.Duration{
		&t.starting, &t.datastore, &t.join, &t.listen, &t.kubeconfig, &t.cacerts, &t.containerd, &t.api, &t.up, &t.kubelet,
		&t.register, &t.agentContainerd, &t.agentConnect, &t.agentKubelet, &t.agentRegister, &t.cidr, &t.ready,
		&t.stage, &t.apply, &t.pods, &t.chart,
	}
}

func (t *timing) periods() []*time.Duration {
	return []*time.Duration{&t.scan, &t.caRetry, &t.configRetry, &t.learnerPoll, &t.promoteTick, &t.heartbeat, &t.grace, &t.stall, &t.etcdBeat}
}

func stretch(list []*time.Duration, factor float64) {
	for _, d := range list {
		*d = time.Duration(float64(*d) * factor)
	}
}

// Floors below which a scaled period would only burn CPU or, for the grace
// period, call a node dead that a busy machine merely delayed.
const (
	minPeriod    = 40 * time.Millisecond
	minHeartbeat = time.Second
	minGrace     = 4 * time.Second
	minStall     = 15 * time.Second
)

// etcd's heartbeat lies between these. k3s's own settings (500 ms, election
// timeout 5 s) would make a first member wait 0.5 to 5.5 s until it elects
// itself; with 200 ms and five heartbeats it is 0.2 to 1.2 s, and "connection
// OK" comes when real k3s was seen to print it.
const (
	minEtcdBeat    = 100 * time.Millisecond
	maxEtcdBeat    = 200 * time.Millisecond
	electionFactor = 5 // the smallest that etcd accepts
)

func (t *timing) applyFloors() {
	for _, d := range []*time.Duration{&t.caRetry, &t.configRetry, &t.learnerPoll, &t.promoteTick} {
		atLeast(d, minPeriod)
	}
	atLeast(&t.scan, minHeartbeat)
	atLeast(&t.heartbeat, minHeartbeat)
	atLeast(&t.grace, minGrace)
	atLeast(&t.stall, minStall)
	atLeast(&t.etcdBeat, minEtcdBeat)
	if t.etcdBeat > maxEtcdBeat {
		t.etcdBeat = maxEtcdBeat
	}
}

func atLeast(d *time.Duration, floor time.Duration) {
	if *d < floor {
		*d = floor
	}
}

// readyAfter is the profile of STANDIN_READY: nothing answers before n, then
// everything does and the Node is Ready.
func readyAfter(n time.Duration) timing {
	t := measured()
	stretch(t.moments(), 0)
	t.datastore, t.agentRegister = n, n
	t.caRetry, t.configRetry, t.learnerPoll = 50*time.Millisecond, 50*time.Millisecond, 50*time.Millisecond
	t.promoteTick, t.etcdBeat = 200*time.Millisecond, minEtcdBeat
	return t
}

// sleepUntil waits for the moment that lies after base by d.
func sleepUntil(base time.Time, d time.Duration) {
	time.Sleep(time.Until(base.Add(d)))
}
