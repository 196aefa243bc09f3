// Command runtime-wrapper is an OCI runtime that asks runc for no more than
// this machine can give.
//
// In some sandboxes (nested virtual machines, CI runners) root lacks a
// capability, most often CAP_SYS_RESOURCE. "docker run --privileged" asks runc
// for all of them and fails with "unable to apply caps: operation not
// permitted", at the container's create and at every exec. This program stands
// between containerd's shim and runc: it takes out of the request what we
// cannot grant, then becomes runc with the very same arguments.
//
// It is on the path of every container start, exec and removal (the shim calls
// the runtime four times in a container's life), so it is compiled, reads no
// more than one file, and replaces itself by runc instead of waiting for it.
// Measured with dev/runtime-wrapper/measure; the figures are in its comment.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// runc is the runtime that does the work; dev/engine sets the path that this
// machine has at build time (-ldflags -X).
var runc = "/usr/sbin/runc"

func main() {
	if err := relax(os.Args[1:]); err != nil {
		// runc will say what is wrong with the request better than we can;
		// what it can't know is that we left the request as it was.
		fmt.Fprintln(os.Stderr, "runtime-wrapper: request left as it was:", err)
	}
	err := syscall.Exec(runc, append([]string{runc}, os.Args[1:]...), os.Environ())
	fmt.Fprintf(os.Stderr, "runtime-wrapper: cannot run %s: %v\n", runc, err)
	os.Exit(127)
}

// relax rewrites the file that holds the request, for the verbs that have one.
func relax(args []string) error {
	path, wholeSpec := requestFile(args)
	if path == "" {
		return nil
	}
	request, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	have, err := bounds()
	if err != nil {
		return err
	}
	change := have.relaxProcess
	if wholeSpec {
		change = func(spec []byte) ([]byte, error) { return inMember(spec, "process", have.relaxProcess) }
	}
	relaxed, err := change(request)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return overwrite(path, relaxed, len(request))
}

// overwrite writes over a file's old bytes and fills up with blanks, which JSON
// ignores: half the time of truncating it and allocating it anew.
func overwrite(path string, data []byte, size int) error {
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	for len(data) < size {
		data = append(data, ' ')
	}
	if _, err = file.Write(data); err != nil {
		return err
	}
	return file.Close()
}

// Of runc's flags these take their value from the next argument. All others are
// switches, or carry their value after "=".
const (
	globalValues = " root log log-format criu rootless "
	createValues = " bundle b console-socket pid-file preserve-fds image-path work-path manage-cgroups-mode empty-ns " +
		"lsm-profile lsm-mount-context "
	execValues = " process p console-socket pid-file cwd env e user u additional-gids g process-label apparmor cap c " +
		"preserve-fds cgroup "
)

// requestFile finds the file that says what the container's process shall get:
// the bundle's config.json (a whole spec) or exec's --process (a process alone).
// It is "" for verbs that start nothing.
func requestFile(args []string) (path string, wholeSpec bool) {
	_, rest := flags(args, globalValues)
	if len(rest) == 0 {
		return "", false
	}
	switch rest[0] {
	case "create", "run", "restore":
		given, _ := flags(rest[1:], createValues)
		return first(given["bundle"], given["b"], ".") + "/config.json", true
	case "exec":
		given, _ := flags(rest[1:], execValues)
		return first(given["process"], given["p"]), false
	}
	return "", false
}

// flags reads flags up to the first plain argument, as runc's parser does.
func flags(args []string, valued string) (given map[string]string, rest []string) {
	given = map[string]string{}
	for i := 0; i < len(args); i++ {
		arg := args[i]
		if arg == "--" {
			return given, args[i+1:]
		}
		if len(arg) < 2 || arg[0] != '-' {
			return given, args[i:]
		}
		name, value, joined := strings.Cut(strings.TrimLeft(arg, "-"), "=")
		if !joined && strings.Contains(valued, " "+name+" ") && i+1 < len(args) {
			i++
			value = args[i]
		}
		given[name] = value
	}
	return given, nil
}

func first(values ...string) string {
	for _, value := range values {
		if value != "" {
			return value
		}
	}
	return ""
}

// limits is what we have ourselves and so can pass on.
type limits struct {
	capabilities uint64 // the bounding set
	raises       bool   // CAP_SYS_RESOURCE: may raise hard limits, lower OOM scores
	oomScore     int
}

const sysResource = 24

func bounds() (limits, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return limits{}, err
	}
	_, line, found := strings.Cut(string(status), "CapBnd:\t")
	if !found || len(line) < 16 {
		return limits{}, fmt.Errorf("no CapBnd in /proc/self/status")
	}
	set, err := strconv.ParseUint(line[:16], 16, 64)
	if err != nil {
		return limits{}, err
	}
	have := limits{capabilities: set, raises: set&(1<<sysResource) != 0}
	if score, err := os.ReadFile("/proc/self/oom_score_adj"); err == nil {
		have.oomScore, _ = strconv.Atoi(strings.TrimSpace(string(score)))
	}
	return have, nil
}

// object is a JSON object of which we understand some members; the others keep
// their bytes, whatever a newer engine writes there.
type object map[string]json.RawMessage

// inMember rewrites one member of an object, if it is there.
func inMember(data []byte, name string, change func([]byte) ([]byte, error)) ([]byte, error) {
	var whole object
	if err := json.Unmarshal(data, &whole); err != nil {
		return nil, err
	}
	member, found := whole[name]
	if !found || string(member) == "null" {
		return data, nil
	}
	changed, err := change(member)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return bytes.Replace(data, member, changed, 1), nil
}

func (have limits) relaxProcess(data []byte) ([]byte, error) {
	var process object
	if err := json.Unmarshal(data, &process); err != nil {
		return nil, err
	}
	if raw, found := process["capabilities"]; found {
		var sets map[string][]string
		if err := json.Unmarshal(raw, &sets); err != nil {
			return nil, fmt.Errorf("capabilities: %w", err)
		}
		missing := have.missing()
		for name, set := range sets {
			sets[name] = without(missing, set)
		}
		process["capabilities"], _ = json.Marshal(sets)
	}
	if !have.raises {
		var score int
		if json.Unmarshal(process["oomScoreAdj"], &score) == nil && score < have.oomScore {
			delete(process, "oomScoreAdj")
		}
		if raw, found := process["rlimits"]; found {
			limits, err := lowerRlimits(raw)
			if err != nil {
				return nil, fmt.Errorf("rlimits: %w", err)
			}
			process["rlimits"] = limits
		}
	}
	return json.Marshal(process)
}

// missing names the capabilities we lack. One that is newer than our list is
// not among them: runc shall judge it.
func (have limits) missing() map[string]bool {
	names := map[string]bool{}
	for bit, name := range strings.Fields(capabilities) {
		if have.capabilities&(1<<bit) == 0 {
			names["CAP_"+name] = true
		}
	}
	return names
}

func without(missing map[string]bool, set []string) []string {
	kept := []string{}
	for _, name := range set {
		if !missing[name] {
			kept = append(kept, name)
		}
	}
	return kept
}

type rlimit struct {
	Type string `json:"type"`
	Hard uint64 `json:"hard"`
	Soft uint64 `json:"soft"`
}

// lowerRlimits brings limits down to the hard ones we have ourselves.
func lowerRlimits(raw []byte) ([]byte, error) {
	var asked []rlimit
	if err := json.Unmarshal(raw, &asked); err != nil {
		return nil, err
	}
	for i := range asked {
		var ours syscall.Rlimit
		if syscall.Getrlimit(resourceNumber(asked[i].Type), &ours) != nil {
			continue // one we don't know
		}
		asked[i].Hard = lower(asked[i].Hard, ours.Max)
		asked[i].Soft = lower(asked[i].Soft, asked[i].Hard)
	}
	return json.Marshal(asked)
}

func lower(a, b uint64) uint64 {
	if a < b {
		return a
	}
	return b
}

// In the order of their numbers in <linux/capability.h>.
const capabilities = `CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP
	LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO
	SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE
	AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON
	BPF CHECKPOINT_RESTORE`

// In the order of their numbers in <asm-generic/resource.h>.
const resources = "CPU FSIZE DATA STACK CORE RSS NPROC NOFILE MEMLOCK AS LOCKS SIGPENDING MSGQUEUE NICE RTPRIO RTTIME"

// resourceNumber is -1 for a limit we don't know.
func resourceNumber(name string) int {
	for number, known := range strings.Fields(resources) {
		if name == "RLIMIT_"+known {
			return number
		}
	}
	return -1
}
