// The one identity of the app: it reaches storage, the Durable backend, Event Grid, Key Vault and Azure Virtual Desktop.

@description('Name of the user-assigned identity.')
param name string

param location string

param tags object

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  name: name
  location: location
  tags: tags
}

output id string = identity.id
output clientId string = identity.properties.clientId
output principalId string = identity.properties.principalId
