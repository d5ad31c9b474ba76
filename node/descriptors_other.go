//go:build !unix

package node

func descriptorLimit() int { return descriptorsEnough }
