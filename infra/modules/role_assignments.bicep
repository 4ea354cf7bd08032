// Gives the app's identity roles in one resource group: of host pools, session hosts, a gallery or a network.

@description('Object id of the app\'s identity.')
param principalId string

@description('Resource ids of role definitions, as infra/roles/roles.bicep prints them.')
param roleDefinitionIds string[]

resource assignments 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for id in roleDefinitionIds: {
  name: guid(resourceGroup().id, principalId, id)
  properties: {
    principalId: principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: id
  }
}]
