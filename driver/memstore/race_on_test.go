//go:build race

package memstore

const raceDetector = true
