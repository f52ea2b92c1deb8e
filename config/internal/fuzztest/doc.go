// Package fuzztest holds the fuzz targets of package config. They stand apart from its tests, which open every driver: built for fuzzing, all
// their code takes minutes to compile.
package fuzztest
