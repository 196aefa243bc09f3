package main

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
)

const (
	jsonPatch      = "application/json-patch+json"
	mergePatch     = "application/merge-patch+json"
	strategicPatch = "application/strategic-merge-patch+json"
)

// mergeKeys are the lists that a strategic patch merges item by item, with
// the field that identifies an item.
var mergeKeys = map[string]string{"conditions": "type", "addresses": "type", "taints": "key"}

func applyPatch(o object, contentType string, patch []byte) (object, error) {
	switch contentType {
	case jsonPatch:
		return applyJSONPatch(o, patch)
	case mergePatch, strategicPatch:
		var p object
		if err := json.Unmarshal(patch, &p); err != nil {
			return nil, err
		}
		merge(o, p, contentType == strategicPatch)
		return o, nil
	}
	return nil, fmt.Errorf("the body of the request was in an unknown format: %s", contentType)
}

// merge is RFC 7386, plus what kubectl uses of strategic merging.
func merge(into, patch object, strategic bool) {
	for name, value := range patch {
		// $setElementOrder and $retainKeys only order or check what the rest says.
		if strategic && strings.HasPrefix(name, "$") {
			continue
		}
		switch v := value.(type) {
		case nil:
			delete(into, name)
		case object:
			nested, ok := into[name].(object)
			if !ok {
				nested = object{}
				into[name] = nested
			}
			merge(nested, v, strategic)
		case []interface{}:
			if key, ok := mergeKeys[name]; ok && strategic {
				old, _ := into[name].([]interface{})
				v = mergeList(old, v, key)
			}
			into[name] = v
		default:
			into[name] = value
		}
	}
}

func mergeList(old, patch []interface{}, key string) []interface{} {
	result := append([]interface{}(nil), old...)
	for _, item := range patch {
		p, ok := item.(object)
		if !ok {
			continue
		}
		at := indexOf(result, key, p[key])
		switch {
		case p["$patch"] == "delete" && at >= 0:
			result = append(result[:at], result[at+1:]...)
		case p["$patch"] == "delete":
		case at >= 0:
			merge(result[at].(object), p, true)
		default:
			result = append(result, p)
		}
	}
	return result
}

func indexOf(list []interface{}, key string, value interface{}) int {
	for i, item := range list {
		if o, ok := item.(object); ok && o[key] == value {
			return i
		}
	}
	return -1
}

type patchStep struct {
	Op    string      `json:"op"`
	Path  string      `json:"path"`
	Value interface{} `json:"value"`
}

// applyJSONPatch is RFC 6902 without move and copy, which kubectl never sends.
func applyJSONPatch(o object, patch []byte) (object, error) {
	var steps []patchStep
	if err := json.Unmarshal(patch, &steps); err != nil {
		return nil, err
	}
	var document interface{} = o
	for _, step := range steps {
		var err error
		path := strings.Split(strings.TrimPrefix(step.Path, "/"), "/")
		if document, err = patchAt(document, path, step); err != nil {
			return nil, err
		}
	}
	result, ok := document.(object)
	if !ok {
		return nil, fmt.Errorf("the patch does not leave an object")
	}
	return result, nil
}

// patchAt returns the changed value, since an array may move when it grows.
func patchAt(at interface{}, path []string, step patchStep) (interface{}, error) {
	name := strings.NewReplacer("~1", "/", "~0", "~").Replace(path[0])
	switch v := at.(type) {
	case object:
		return v, patchObject(v, name, path, step)
	case []interface{}:
		return patchArray(v, name, path, step)
	}
	return nil, fmt.Errorf("%s: missing path", step.Path)
}

func patchObject(o object, name string, path []string, step patchStep) error {
	old, has := o[name]
	if len(path) > 1 {
		changed, err := patchAt(old, path[1:], step)
		if err == nil {
			o[name] = changed
		}
		return err
	}
	if !has && step.Op != "add" {
		return fmt.Errorf("%s: missing path", step.Path)
	}
	switch step.Op {
	case "add", "replace":
		o[name] = step.Value
	case "remove":
		delete(o, name)
	case "test":
		return testEqual(old, step)
	default:
		return fmt.Errorf("unsupported operation %q", step.Op)
	}
	return nil
}

func patchArray(list []interface{}, name string, path []string, step patchStep) (interface{}, error) {
	at := len(list)
	if name != "-" {
		n, err := strconv.Atoi(name)
		if err != nil || n < 0 || n > len(list) || (n == len(list) && step.Op != "add") {
			return nil, fmt.Errorf("%s: invalid index", step.Path)
		}
		at = n
	}
	if len(path) > 1 && at < len(list) {
		changed, err := patchAt(list[at], path[1:], step)
		if err == nil {
			list[at] = changed
		}
		return list, err
	}
	switch step.Op {
	case "add":
		list = append(list[:at], append([]interface{}{step.Value}, list[at:]...)...)
	case "replace":
		list[at] = step.Value
	case "remove":
		list = append(list[:at], list[at+1:]...)
	case "test":
		return list, testEqual(list[at], step)
	default:
		return nil, fmt.Errorf("unsupported operation %q", step.Op)
	}
	return list, nil
}

func testEqual(have interface{}, step patchStep) error {
	if !reflect.DeepEqual(have, step.Value) {
		return fmt.Errorf("%s: test failed", step.Path)
	}
	return nil
}
