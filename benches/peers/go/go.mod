module coir/bench/peers

go 1.23
