// Package suggest finds what a person meant who mistyped a name.
package suggest

// Closest returns the name of known that is nearest to name, by the letters to insert, delete, exchange or swap with their
// neighbours to get from one to the other (the optimal string alignment distance), and whether it is near enough to be meant: at most
// one in three of the letters. Of several the first counts.
func Closest(name string, known []string) (closest string, ok bool) {
	best := max(len(name)/3, 1) + 1
	for _, k := range known {
		if d := distance(name, k); d < best && d < len(k) {
			best, closest = d, k
		}
	}
	return closest, closest != ""
}

// distance returns the optimal string alignment distance of two texts, in bytes.
func distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(last[j+1]+1, row[j]+1, last[j]+cost)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
