package main

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// object is a Kubernetes object as it is on the wire: clients may patch any
// field into it, so that structs would lose some.
type object = map[string]interface{}

// field follows a path of names; nil where it ends early.
func field(o object, path ...string) interface{} {
	var at interface{} = o
	for _, name := range path {
		m, ok := at.(object)
		if !ok {
			return nil
		}
		at = m[name]
	}
	return at
}

func stringField(o object, path ...string) string {
	s, _ := field(o, path...).(string)
	return s
}

// section returns a nested object, making it if it is missing.
func section(o object, path ...string) object {
	for _, name := range path {
		next, ok := o[name].(object)
		if !ok {
			next = object{}
			o[name] = next
		}
		o = next
	}
	return o
}

func stringMap(o object, path ...string) map[string]string {
	m, _ := field(o, path...).(object)
	out := make(map[string]string, len(m))
	for k, v := range m {
		if s, ok := v.(string); ok {
			out[k] = s
		}
	}
	return out
}

func now() string { return time.Now().UTC().Format(time.RFC3339) }

func newUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// decode reads a stored object and puts its revision where clients look.
func decode(value []byte, revision int64) (object, error) {
	var o object
	if err := json.Unmarshal(value, &o); err != nil {
		return nil, err
	}
	section(o, "metadata")["resourceVersion"] = strconv.FormatInt(revision, 10)
	return o, nil
}

// encode drops the revision: it is the store's, not the object's.
func encode(o object) ([]byte, error) {
	delete(section(o, "metadata"), "resourceVersion")
	return json.Marshal(o)
}

// newObject makes an object that looks freshly created.
func newObject(apiVersion, kind, namespace, name string) object {
	meta := object{"name": name, "uid": newUID(), "creationTimestamp": now()}
	if namespace != "" {
		meta["namespace"] = namespace
	}
	return object{"apiVersion": apiVersion, "kind": kind, "metadata": meta}
}

// condition finds a condition by its type.
func condition(o object, kind string) object {
	list, _ := field(o, "status", "conditions").([]interface{})
	for _, item := range list {
		if c, ok := item.(object); ok && c["type"] == kind {
			return c
		}
	}
	return nil
}

// setCondition writes a condition and reports whether it changed.
func setCondition(o object, kind, status, reason, message string) bool {
	c := condition(o, kind)
	if c == nil {
		c = object{"type": kind}
		list, _ := field(o, "status", "conditions").([]interface{})
		section(o, "status")["conditions"] = append(list, c)
	}
	if c["status"] == status && c["reason"] == reason {
		return false
	}
	if c["status"] != status {
		c["lastTransitionTime"] = now()
	}
	c["lastHeartbeatTime"] = now()
	c["status"], c["reason"], c["message"] = status, reason, message
	return true
}

// parseLabels reads "key=value" items; a missing value is an empty one.
func parseLabels(items []string) object {
	labels := object{}
	for _, item := range items {
		key, value, _ := strings.Cut(item, "=")
		labels[key] = value
	}
	return labels
}
