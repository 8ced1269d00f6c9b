"""Shows, for every unit of a convolutional network and a whole data set, what makes it fire."""
