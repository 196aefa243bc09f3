package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
)

// Errors that only the API knows.
var (
	errExists = errors.New("already exists")
	errStale  = errors.New("the object has been modified; please apply your changes to the latest version and try again")
)

// requestError is the client's fault.
type requestError struct{ error }

func badRequest(err error) error { return requestError{err} }

func writeJSON(w http.ResponseWriter, code int, value interface{}) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(value)
}

func writeObject(w http.ResponseWriter, r *http.Request, t target, code int, o object) {
	if wantsTable(r.Header.Get("Accept")) {
		version := stringField(o, "metadata", "resourceVersion")
		writeJSON(w, code, table(t.kind, []object{o}, version, r.URL.Query().Get("includeObject")))
		return
	}
	writeJSON(w, code, o)
}

// status is Kubernetes' answer where there is no object.
func status(code int, reason, message string) object {
	return object{"kind": "Status", "apiVersion": "v1", "metadata": object{}, "status": "Failure",
		"message": message, "reason": reason, "code": code}
}

func writeStatus(w http.ResponseWriter, code int, reason, message string) {
	writeJSON(w, code, status(code, reason, message))
}

func writeError(w http.ResponseWriter, t target, err error) {
	qualified := t.name
	if t.group != "" {
		qualified += "." + t.group
	}
	var bad requestError
	switch {
	case errors.Is(err, errNotFound):
		answer := status(http.StatusNotFound, "NotFound", fmt.Sprintf("%s %q not found", qualified, t.object))
		answer["details"] = object{"name": t.object, "group": t.group, "kind": t.name}
		writeJSON(w, http.StatusNotFound, answer)
	case errors.Is(err, errExists):
		writeStatus(w, http.StatusConflict, "AlreadyExists", fmt.Sprintf("%s %q already exists", qualified, t.object))
	case errors.Is(err, errConflict), errors.Is(err, errStale):
		writeStatus(w, http.StatusConflict, "Conflict",
			fmt.Sprintf("Operation cannot be fulfilled on %s %q: %v", qualified, t.object, errStale))
	case errors.Is(err, errGone):
		writeStatus(w, http.StatusGone, "Expired", errGone.Error())
	case errors.As(err, &bad):
		writeStatus(w, http.StatusBadRequest, "BadRequest", err.Error())
	default:
		writeStatus(w, http.StatusServiceUnavailable, "ServiceUnavailable", err.Error())
	}
}
