"""Models that teach: new kinds of teachers, stored rankings and the ensemble."""
