// Package kafka reads the lag of a Kafka consumer group: for each partition the
// distance between where the group is and the partition's end, summed up, the
// counters that rates are measured from and, where it is asked for, the age of the
// oldest record that is not done with. It joins no group and commits nothing; of
// records it reads the first of each partition that lags, and only for that age.
//
// A partition that cannot be read makes the whole poll fail: a part of a lag is
// not a lag.
package kafka
