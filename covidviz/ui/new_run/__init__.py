"""The New run page: data, network and training side by side, and at the right what will be trained."""
