"""Other ways to bring a host pool to a new image, from their published descriptions; none of their code is used."""
